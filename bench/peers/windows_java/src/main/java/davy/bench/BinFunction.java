package davy.bench;

import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.flink.table.functions.ScalarFunction;

/** {@link Bins} for Flink SQL; the first call of all marks in the working folder that work began. */
public final class BinFunction extends ScalarFunction {
    private static final long serialVersionUID = 1L;
    private static final AtomicBoolean STARTED = new AtomicBoolean();

    public int eval(long value) {
        if (!STARTED.get() && STARTED.compareAndSet(false, true)) {
            Mark.write(Path.of("").toAbsolutePath(), "started");
        }
        return Bins.of(value);
    }
}
