package edgedeblur.demo

import android.Manifest
import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.ClipData
import android.content.Intent
import android.content.pm.PackageManager
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.provider.MediaStore
import android.view.View
import android.widget.Button
import android.widget.ProgressBar
import android.widget.Spinner
import android.widget.TextView
import edgedeblur.demo.core.milliseconds
import java.io.File

private const val PICK = 1
private const val TAKE = 2
private const val WRITE = 3

/** The picture, before and after. Holds no state of its own: [Session] does. */
class MainActivity : Activity() {
    private val app get() = application as DeblurApp
    private val session get() = app.session
    private lateinit var pictures: BeforeAfterView
    private lateinit var model: Choice
    private lateinit var other: Choice
    private var shownPicture: Any? = null

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.main)
        pictures = findViewById(R.id.pictures)
        model = Choice(findViewById(R.id.model)) { number -> app.settings.model = usable()[number].name; render(session.state) }
        other = Choice(findViewById(R.id.other)) { number -> app.settings.other = others().getOrNull(number - 1)?.name }
        click(R.id.photo) { pick() }
        click(R.id.camera) { take() }
        click(R.id.deblur) { if (session.state.doing == null) session.deblur() else session.cancel() }
        click(R.id.save) { save() }
        click(R.id.share) { session.export { share(this, it, "image/jpeg") ?: session.say(getString(R.string.no_share)) } }
        click(R.id.models) { startActivity(Intent(this, ModelsActivity::class.java)) }
        click(R.id.benchmark) { startActivity(Intent(this, BenchmarkActivity::class.java)) }
        // After a rotation or process death the intent that started the screen has been dealt with already.
        if (state == null) receive(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        receive(intent)
    }

    override fun onStart() {
        super.onStart()
        session.listener = ::render
        render(session.state)
    }

    override fun onStop() {
        session.listener = null
        super.onStop()
    }

    private fun click(id: Int, action: () -> Unit) = findViewById<Button>(id).setOnClickListener { action() }

    private fun receive(intent: Intent?) {
        val uris = sharedFiles(intent ?: return)
        if (uris.isEmpty()) return
        if (intent.type?.startsWith("image/") == true) session.open(uris.first()) else session.importModels(uris)
    }

    private fun pick() {
        val intent =
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
                Intent(MediaStore.ACTION_PICK_IMAGES).setType("image/*")
            } else {
                Intent(Intent.ACTION_GET_CONTENT).setType("image/*").addCategory(Intent.CATEGORY_OPENABLE)
            }
        launch(intent, PICK, R.string.no_picker)
    }

    private fun take() {
        if (!packageManager.hasSystemFeature(PackageManager.FEATURE_CAMERA_ANY)) return session.say(getString(R.string.no_camera))
        val file = File(FilesProvider.folder(this), "camera.jpg")
        file.delete()
        val uri = FilesProvider.uriFor(file)
        val intent = Intent(MediaStore.ACTION_IMAGE_CAPTURE).putExtra(MediaStore.EXTRA_OUTPUT, uri)
        intent.clipData = ClipData.newRawUri(null, uri)
        intent.addFlags(Intent.FLAG_GRANT_WRITE_URI_PERMISSION or Intent.FLAG_GRANT_READ_URI_PERMISSION)
        launch(intent, TAKE, R.string.no_camera)
    }

    private fun launch(intent: Intent, request: Int, otherwise: Int) =
        try {
            startActivityForResult(intent, request)
        } catch (_: ActivityNotFoundException) {
            session.say(getString(otherwise))
        } catch (_: SecurityException) {
            session.say(getString(otherwise))
        }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        super.onActivityResult(request, result, data)
        if (result != RESULT_OK) return
        when (request) {
            PICK -> data?.data?.let(session::open)
            TAKE -> session.open(FilesProvider.uriFor(File(FilesProvider.folder(this), "camera.jpg")))
        }
    }

    private fun save() {
        val needed = Manifest.permission.WRITE_EXTERNAL_STORAGE
        val asks = Build.VERSION.SDK_INT < Build.VERSION_CODES.Q && checkSelfPermission(needed) != PackageManager.PERMISSION_GRANTED
        if (asks) requestPermissions(arrayOf(needed), WRITE) else session.save()
    }

    override fun onRequestPermissionsResult(request: Int, permissions: Array<String>, results: IntArray) {
        super.onRequestPermissionsResult(request, permissions, results)
        if (request != WRITE) return
        if (results.firstOrNull() == PackageManager.PERMISSION_GRANTED) session.save() else session.say(getString(R.string.permission_refused))
    }

    private fun usable() = session.state.models.filter { it.manifest != null }

    private fun others() = usable().filter { it.name != session.chosen()?.name }

    private fun render(state: State) {
        val busy = state.doing != null
        showPictures(state)
        model.show(usable().map { it.title }, usable().indexOfFirst { it.name == session.chosen()?.name })
        val titles = listOf(getString(R.string.the_original)) + others().map { it.title }
        other.show(titles, others().indexOfFirst { it.name == session.compared()?.name } + 1)
        findViewById<TextView>(R.id.message).text = state.doing ?: state.message.orEmpty()
        findViewById<ProgressBar>(R.id.progress).apply {
            visibility = if (busy) View.VISIBLE else View.INVISIBLE
            isIndeterminate = state.progress == null
            progress = ((state.progress ?: 0.0) * max).toInt()
        }
        findViewById<Button>(R.id.deblur).apply {
            text = getString(if (busy) R.string.cancel else R.string.deblur)
            isEnabled = busy || state.picture != null
        }
        for (id in listOf(R.id.photo, R.id.camera)) findViewById<View>(id).isEnabled = !busy
        for (id in listOf(R.id.save, R.id.share)) findViewById<View>(id).isEnabled = !busy && state.outcomes.isNotEmpty()
    }

    private fun showPictures(state: State) {
        findViewById<View>(R.id.empty).visibility = if (state.picture == null) View.VISIBLE else View.GONE
        // Another picture starts unzoomed; another result of the same one stays where the person looks.
        if (shownPicture != null && shownPicture !== state.picture) pictures.reset()
        shownPicture = state.picture
        val (first, second) = state.outcomes.getOrNull(0) to state.outcomes.getOrNull(1)
        val left = second?.bitmap ?: state.picture
        pictures.show(left, first?.bitmap, second?.let(::label) ?: getString(R.string.original), first?.let(::label).orEmpty())
    }

    private fun label(outcome: Outcome) = "${milliseconds(outcome.ms)} · ${outcome.title}"
}
