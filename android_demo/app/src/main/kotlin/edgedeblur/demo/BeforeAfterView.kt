package edgedeblur.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Matrix
import android.graphics.Paint
import android.graphics.RectF
import android.os.Bundle
import android.os.Parcelable
import android.util.AttributeSet
import android.view.GestureDetector
import android.view.KeyEvent
import android.view.MotionEvent
import android.view.ScaleGestureDetector
import android.view.View
import android.view.accessibility.AccessibilityNodeInfo
import kotlin.math.abs

/**
 * Two pictures of one size, one over the other, with a slider between them. Drag the handle, or anywhere while the
 * whole picture is seen; pinch or double-tap to zoom, then drag to move.
 */
class BeforeAfterView @JvmOverloads constructor(context: Context, attributes: AttributeSet? = null) : View(context, attributes) {
    private var left: Bitmap? = null
    private var right: Bitmap? = null
    private var leftLabel = ""
    private var rightLabel = ""

    /** Where the slider stands, 0 (all right-hand picture) to 1 (all left-hand picture). */
    var slider = 0.5f
        private set

    /** How much larger than "the whole picture is seen". */
    var zoom = 1f
        private set

    // Centre of what is seen, as shares of the picture's sides.
    private var centreX = 0.5f
    private var centreY = 0.5f
    private var sliding = false

    private val density = resources.displayMetrics.density
    private val smooth = Paint(Paint.FILTER_BITMAP_FLAG)
    private val line = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = Color.WHITE; strokeWidth = 2 * density; setShadowLayer(3 * density, 0f, 0f, Color.BLACK) }
    private val arrows = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = Color.rgb(0x22, 0x2b, 0x38); strokeWidth = 2 * density; style = Paint.Style.STROKE; strokeCap = Paint.Cap.ROUND }
    private val words = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = Color.WHITE; textSize = 13 * resources.displayMetrics.scaledDensityCompat() }
    private val behindWords = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = Color.argb(150, 0, 0, 0) }
    private val matrix = Matrix()

    private val pinch = ScaleGestureDetector(context, object : ScaleGestureDetector.SimpleOnScaleGestureListener() {
        override fun onScale(detector: ScaleGestureDetector): Boolean {
            zoomTo(zoom * detector.scaleFactor, detector.focusX, detector.focusY)
            return true
        }
    })

    private val taps = GestureDetector(context, object : GestureDetector.SimpleOnGestureListener() {
        override fun onDown(event: MotionEvent) = true

        override fun onDoubleTap(event: MotionEvent): Boolean {
            zoomTo(if (zoom > 1f) 1f else DOUBLE_TAP_ZOOM, event.x, event.y)
            return true
        }

        override fun onScroll(first: MotionEvent?, event: MotionEvent, dx: Float, dy: Float): Boolean {
            if (pinch.isInProgress) return false
            if (sliding || zoom == 1f) slideTo(event.x) else move(dx, dy)
            return true
        }
    })

    init {
        isFocusable = true
    }

    /** Show [before] on the left of the slider and [after] on its right, or [before] alone. */
    fun show(before: Bitmap?, after: Bitmap?, beforeLabel: String, afterLabel: String) {
        left = before?.let(::shown)
        right = after?.let(::shown)
        leftLabel = beforeLabel
        rightLabel = afterLabel
        contentDescription = if (after == null) beforeLabel else context.getString(R.string.slider_description, beforeLabel, afterLabel)
        invalidate()
    }

    /** Back to the whole picture, with the slider in its middle. */
    fun reset() {
        slider = 0.5f
        zoom = 1f
        centreX = 0.5f
        centreY = 0.5f
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        val before = left ?: return
        val frame = place(before)
        val after = right
        if (after == null) {
            canvas.drawBitmap(before, matrix, smooth)
            label(canvas, leftLabel, atLeft = true)
            return
        }
        val x = sliderX(frame)
        drawPart(canvas, before, 0f, x)
        drawPart(canvas, after, x, width.toFloat())
        canvas.drawLine(x, maxOf(0f, frame.top), x, minOf(height.toFloat(), frame.bottom), line)
        drawHandle(canvas, x)
        label(canvas, leftLabel, atLeft = true)
        label(canvas, rightLabel, atLeft = false)
    }

    private fun drawPart(canvas: Canvas, bitmap: Bitmap, from: Float, to: Float) {
        canvas.save()
        canvas.clipRect(from, 0f, to, height.toFloat())
        canvas.drawBitmap(bitmap, matrix, smooth)
        canvas.restore()
    }

    private fun drawHandle(canvas: Canvas, x: Float) {
        val y = height / 2f
        canvas.drawCircle(x, y, HANDLE_DP * density, line)
        val reach = 9 * density
        val tip = 4 * density
        for (side in listOf(-1, 1)) {
            canvas.drawLine(x + side * reach, y, x + side * (reach - tip), y - tip, arrows)
            canvas.drawLine(x + side * reach, y, x + side * (reach - tip), y + tip, arrows)
        }
    }

    private fun label(canvas: Canvas, text: String, atLeft: Boolean) {
        if (text.isEmpty()) return
        val margin = 8 * density
        val pad = 7 * density
        val room = width / 2f - 2 * margin - 2 * pad
        val fits = text.take(words.breakText(text, true, room, null)).let { if (it.length < text.length) it.dropLast(1) + "…" else it }
        val wide = words.measureText(fits)
        val start = if (atLeft) margin else width - margin - 2 * pad - wide
        val box = RectF(start, margin, start + wide + 2 * pad, margin + words.textSize + 1.4f * pad)
        canvas.drawRoundRect(box, 6 * density, 6 * density, behindWords)
        canvas.drawText(fits, start + pad, box.bottom - 0.9f * pad, words)
    }

    /** Set [matrix] so that the picture fits, zoomed and moved; its frame on the screen. */
    private fun place(bitmap: Bitmap): RectF {
        val scale = fit(bitmap) * zoom
        val wide = bitmap.width * scale
        val high = bitmap.height * scale
        val frame = RectF(0f, 0f, wide, high)
        frame.offset(offset(width.toFloat(), wide, centreX), offset(height.toFloat(), high, centreY))
        matrix.setScale(scale, scale)
        matrix.postTranslate(frame.left, frame.top)
        return frame
    }

    private fun fit(bitmap: Bitmap) = minOf(width / bitmap.width.toFloat(), height / bitmap.height.toFloat())

    /** A side that fits is centred; a longer one never leaves a gap. */
    private fun offset(view: Float, side: Float, centre: Float) =
        if (side <= view) (view - side) / 2 else (view / 2 - centre * side).coerceIn(view - side, 0f)

    private fun sliderX(frame: RectF): Float {
        val from = maxOf(0f, frame.left)
        return from + slider * (minOf(width.toFloat(), frame.right) - from)
    }

    /** Put the slider at a place on the screen. */
    fun slideTo(x: Float) {
        val frame = place(left ?: return)
        val from = maxOf(0f, frame.left)
        val to = minOf(width.toFloat(), frame.right)
        slider = ((x - from) / (to - from)).coerceIn(0f, 1f)
        invalidate()
    }

    private fun zoomTo(wanted: Float, focusX: Float, focusY: Float) {
        val before = place(left ?: return)
        val shareX = (focusX - before.left) / before.width()
        val shareY = (focusY - before.top) / before.height()
        zoom = wanted.coerceIn(1f, MAX_ZOOM)
        val after = place(left ?: return)
        // What lay under the fingers stays there.
        centreX = (shareX + (width / 2f - focusX) / after.width()).coerceIn(0f, 1f)
        centreY = (shareY + (height / 2f - focusY) / after.height()).coerceIn(0f, 1f)
        invalidate()
    }

    private fun move(dx: Float, dy: Float) {
        val frame = place(left ?: return)
        centreX = (centreX + dx / frame.width()).coerceIn(0f, 1f)
        centreY = (centreY + dy / frame.height()).coerceIn(0f, 1f)
        invalidate()
    }

    @Suppress("ClickableViewAccessibility") // Double-tap has no click; the slider is an accessibility action below.
    override fun onTouchEvent(event: MotionEvent): Boolean {
        val picture = left ?: return false
        if (event.actionMasked == MotionEvent.ACTION_DOWN) {
            sliding = right != null && abs(event.x - sliderX(place(picture))) < GRIP_DP * density
        }
        pinch.onTouchEvent(event)
        taps.onTouchEvent(event)
        return true
    }

    override fun onKeyDown(code: Int, event: KeyEvent): Boolean {
        when (code) {
            KeyEvent.KEYCODE_DPAD_LEFT -> step(-STEP)
            KeyEvent.KEYCODE_DPAD_RIGHT -> step(STEP)
            else -> return super.onKeyDown(code, event)
        }
        return true
    }

    override fun onInitializeAccessibilityNodeInfo(info: AccessibilityNodeInfo) {
        super.onInitializeAccessibilityNodeInfo(info)
        if (right == null) return
        info.className = "android.widget.SeekBar"
        info.addAction(AccessibilityNodeInfo.AccessibilityAction.ACTION_SCROLL_FORWARD)
        info.addAction(AccessibilityNodeInfo.AccessibilityAction.ACTION_SCROLL_BACKWARD)
    }

    override fun performAccessibilityAction(action: Int, arguments: Bundle?): Boolean {
        when (action) {
            AccessibilityNodeInfo.ACTION_SCROLL_FORWARD -> step(STEP)
            AccessibilityNodeInfo.ACTION_SCROLL_BACKWARD -> step(-STEP)
            else -> return super.performAccessibilityAction(action, arguments)
        }
        return true
    }

    private fun step(by: Float) {
        slider = (slider + by).coerceIn(0f, 1f)
        invalidate()
    }

    override fun onSaveInstanceState(): Parcelable =
        Bundle().apply {
            putParcelable("super", super.onSaveInstanceState())
            putFloatArray("place", floatArrayOf(slider, zoom, centreX, centreY))
        }

    override fun onRestoreInstanceState(state: Parcelable?) {
        val kept = state as? Bundle ?: return super.onRestoreInstanceState(state)
        @Suppress("DEPRECATION") // The typed getter came with API 33.
        super.onRestoreInstanceState(kept.getParcelable("super"))
        kept.getFloatArray("place")?.let { (slider, zoom, x, y) ->
            this.slider = slider
            this.zoom = zoom
            centreX = x
            centreY = y
        }
    }

    private companion object {
        const val DOUBLE_TAP_ZOOM = 3f
        const val MAX_ZOOM = 16f
        const val HANDLE_DP = 18
        const val GRIP_DP = 28
        const val STEP = 0.1f
    }
}

@Suppress("DEPRECATION") // Exact for one-line labels; the replacement needs API 34.
private fun android.util.DisplayMetrics.scaledDensityCompat() = scaledDensity
