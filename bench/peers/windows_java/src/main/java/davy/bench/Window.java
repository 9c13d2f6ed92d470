package davy.bench;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/** What is counted of one key in one window, for Kafka Streams. */
final class Window {
    private static final int HEAD_BYTES = 3 * Long.BYTES;
    private static final int BIN_BYTES = Short.BYTES + Integer.BYTES;

    private long rows;
    private long errors;
    private long total;
    private final Counts histogram = new Counts();

    Window add(boolean error, long durationUs) {
        rows++;
        errors += error ? 1 : 0;
        total += durationUs;
        histogram.add(Bins.of(durationUs), 1);
        return this;
    }

    static Serde<Window> serde() {
        Serializer<Window> write = (topic, window) -> window == null ? null : window.bytes();
        Deserializer<Window> read = (topic, data) -> data == null ? null : of(data);
        return Serdes.serdeFrom(write, read);
    }

    /** Big-endian: rows, errors, total as longs, then a short and an int for every bin. */
    private byte[] bytes() {
        ByteBuffer out = ByteBuffer.allocate(HEAD_BYTES + histogram.size * BIN_BYTES);
        out.putLong(rows).putLong(errors).putLong(total);
        for (int i = 0; i < histogram.size; i++) {
            out.putShort((short) histogram.bins[i]).putInt(histogram.counts[i]);
        }
        return out.array();
    }

    private static Window of(byte[] data) {
        ByteBuffer in = ByteBuffer.wrap(data);
        Window window = new Window();
        window.rows = in.getLong();
        window.errors = in.getLong();
        window.total = in.getLong();
        Counts held = window.histogram;
        held.size = in.remaining() / BIN_BYTES;
        int room = Math.max(held.bins.length, held.size + held.size / 4);
        held.bins = new int[room];
        held.counts = new int[room];
        for (int i = 0; i < held.size; i++) {
            held.bins[i] = in.getShort();
            held.counts[i] = in.getInt();
        }
        return window;
    }
}
