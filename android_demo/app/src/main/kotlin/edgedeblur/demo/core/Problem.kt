package edgedeblur.demo.core

/** What went wrong, as one sentence for the person at the screen: what, and what to do about it. */
class Problem(val sentence: String, cause: Throwable? = null) : Exception(sentence, cause)
