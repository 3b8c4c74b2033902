package edgedeblur.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.ClipData
import android.content.Intent
import android.net.Uri
import android.os.Build
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Spinner
import java.io.File

/** A spinner whose entries may change; [chosen] is called for the person's choices only. */
class Choice(private val spinner: Spinner, private val chosen: (Int) -> Unit) {
    private var entries = emptyList<String>()

    init {
        spinner.onItemSelectedListener =
            object : AdapterView.OnItemSelectedListener {
                override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) {
                    if (position != shown) {
                        shown = position
                        chosen(position)
                    }
                }

                override fun onNothingSelected(parent: AdapterView<*>?) = Unit
            }
    }

    private var shown = -1

    val position get() = spinner.selectedItemPosition

    fun show(entries: List<String>, position: Int) {
        shown = position
        if (entries != this.entries) {
            this.entries = entries
            val adapter = ArrayAdapter(spinner.context, android.R.layout.simple_spinner_item, entries)
            adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
            spinner.adapter = adapter
        }
        spinner.isEnabled = entries.isNotEmpty()
        if (position >= 0 && spinner.selectedItemPosition != position) spinner.setSelection(position)
    }
}

/** The files that another app handed over with [intent]. */
@Suppress("DEPRECATION") // The typed getters came with API 33, and are broken there for some classes.
internal fun sharedFiles(intent: Intent): List<Uri> =
    when (intent.action) {
        Intent.ACTION_SEND -> listOfNotNull(intent.getParcelableExtra(Intent.EXTRA_STREAM) as? Uri)
        Intent.ACTION_SEND_MULTIPLE -> intent.getParcelableArrayListExtra<Uri>(Intent.EXTRA_STREAM).orEmpty()
        Intent.ACTION_VIEW -> listOfNotNull(intent.data)
        else -> emptyList()
    }

/** Offer a lent file to other apps; null if no app takes it. */
internal fun share(activity: Activity, file: File, type: String): Unit? {
    val uri = FilesProvider.uriFor(file)
    val intent = Intent(Intent.ACTION_SEND).setType(type).putExtra(Intent.EXTRA_STREAM, uri)
    intent.clipData = ClipData.newRawUri(null, uri)
    intent.addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
    return try {
        activity.startActivity(Intent.createChooser(intent, null))
    } catch (_: ActivityNotFoundException) {
        null
    }
}
