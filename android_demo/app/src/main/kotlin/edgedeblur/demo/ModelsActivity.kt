package edgedeblur.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.view.ViewGroup
import android.widget.BaseAdapter
import android.widget.Button
import android.widget.ListView
import android.widget.Switch
import android.widget.TextView
import edgedeblur.demo.core.Manifest
import java.util.Locale

private const val ADD = 1

/** All models, with what their manifests say or why they cannot be used; and how models are run. */
class ModelsActivity : Activity() {
    private val app get() = application as DeblurApp
    private val rows = Rows()

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.models)
        findViewById<ListView>(R.id.list).adapter = rows
        findViewById<Button>(R.id.add).setOnClickListener { add() }
        val settings = app.settings
        Choice(findViewById(R.id.threads)) { settings.choice = settings.choice.copy(threads = it + 1) }
            .show((1..Settings.cores()).map(Int::toString), settings.choice.threads - 1)
        findViewById<Switch>(R.id.gpu).apply {
            isChecked = settings.choice.gpu
            setOnCheckedChangeListener { _, on -> settings.choice = settings.choice.copy(gpu = on) }
        }
    }

    override fun onStart() {
        super.onStart()
        app.session.listener = ::render
        render(app.session.state)
    }

    override fun onStop() {
        app.session.listener = null
        super.onStop()
    }

    private fun add() {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).setType("*/*").addCategory(Intent.CATEGORY_OPENABLE)
        intent.putExtra(Intent.EXTRA_ALLOW_MULTIPLE, true)
        try {
            startActivityForResult(intent, ADD)
        } catch (_: ActivityNotFoundException) {
            app.session.say(getString(R.string.no_files))
        }
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        super.onActivityResult(request, result, data)
        if (request == ADD && result == RESULT_OK && data != null) app.session.importModels(chosenFiles(data))
    }

    private fun chosenFiles(data: Intent): List<Uri> {
        val several = data.clipData?.let { clip -> List(clip.itemCount) { clip.getItemAt(it).uri } }
        return several ?: listOfNotNull(data.data)
    }

    private fun render(state: State) {
        rows.models = state.models
        rows.notifyDataSetChanged()
        findViewById<TextView>(R.id.message).text =
            state.doing ?: state.message ?: if (state.models.isEmpty()) getString(R.string.no_model) else ""
        findViewById<Button>(R.id.add).isEnabled = state.doing == null
    }

    private inner class Rows : BaseAdapter() {
        var models = emptyList<Model>()

        override fun getCount() = models.size

        override fun getItem(position: Int) = models[position]

        override fun getItemId(position: Int) = position.toLong()

        override fun isEnabled(position: Int) = false

        override fun getView(position: Int, old: View?, parent: ViewGroup): View {
            val view = old ?: layoutInflater.inflate(R.layout.model_item, parent, false)
            val model = models[position]
            view.findViewById<TextView>(R.id.title).text = model.title
            view.findViewById<TextView>(R.id.details).text = model.problem ?: details(model, model.usable())
            view.findViewById<Button>(R.id.delete).apply {
                visibility = if (app.models.isOpened(model)) View.VISIBLE else View.GONE
                setOnClickListener { app.session.deleteModel(model) }
            }
            return view
        }

        private fun details(model: Model, manifest: Manifest): String {
            val parity = manifest.parityPsnrDb
            val compared =
                when {
                    parity == null -> getString(R.string.parity_unknown)
                    parity.isInfinite() -> getString(R.string.parity_identical)
                    else -> getString(R.string.parity_at_export, "%.2f".format(Locale.ROOT, parity))
                }
            val size = "%.2f".format(Locale.ROOT, model.file.length() / (1 shl 20).toDouble())
            val params = "%.2f M".format(Locale.ROOT, manifest.params / 1e6)
            return getString(R.string.model_details, model.name, manifest.norm, params, size, compared)
        }
    }
}
