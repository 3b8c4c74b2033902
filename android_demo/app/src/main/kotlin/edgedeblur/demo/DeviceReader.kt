package edgedeblur.demo

import android.app.ActivityManager
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import edgedeblur.demo.core.Device
import edgedeblur.demo.core.DeviceState

/** Reads what the phone is, and how warm and how thirsty it is now. */
class DeviceReader(private val context: Context) {
    fun device(): Device {
        val memory = ActivityManager.MemoryInfo()
        context.getSystemService(ActivityManager::class.java).getMemoryInfo(memory)
        val soc = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}" else null
        return Device(
            Build.MANUFACTURER, Build.MODEL, soc, Build.SUPPORTED_ABIS.first(), Settings.cores(), memory.totalMem,
            Build.VERSION.RELEASE, Build.VERSION.SDK_INT,
        )
    }

    fun state(): DeviceState {
        val battery = context.getSystemService(BatteryManager::class.java)
        val thermal = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) context.getSystemService(PowerManager::class.java).currentThermalStatus else null
        // Phones that do not know answer with the smallest number, or with 0.
        val current = battery.getLongProperty(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW).takeIf { it != Long.MIN_VALUE && it != Int.MIN_VALUE.toLong() && it != 0L }
        val percent = battery.getIntProperty(BatteryManager.BATTERY_PROPERTY_CAPACITY).takeIf { it in 1..100 }
        val plugged = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))?.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0)
        return DeviceState(thermal, current, percent, plugged?.let { it != 0 })
    }
}
