package org.tensorflow.lite;

/**
 * How much of a graph a delegate took. TensorFlow Lite knows, but tells it only inside its own package, which is why
 * this class stands here.
 */
public final class Delegation {
    private Delegation() {}

    /**
     * Nodes that run one after the other. A delegate that takes the whole graph leaves one: itself. Without any
     * delegate it is the number of operators.
     */
    public static int nodes(Interpreter interpreter) {
        return interpreter.wrapper.getExecutionPlanLength();
    }
}
