package davy.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/** Tells the clock and this process's CPU time, as {@code peer.Task.mark} in Python does, when work began and ended. */
final class Mark {
    private Mark() {}

    static void write(Path folder, String what) {
        double cpu = ProcessHandle.current().info().totalCpuDuration().orElse(Duration.ZERO).toNanos() / 1e9;
        try {
            Files.writeString(folder.resolve(what), System.currentTimeMillis() / 1000.0 + " " + cpu);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
