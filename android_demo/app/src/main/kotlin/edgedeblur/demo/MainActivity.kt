package edgedeblur.demo

import android.app.Activity

class MainActivity : Activity()
