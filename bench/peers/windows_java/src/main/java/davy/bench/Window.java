package davy.bench;

import java.nio.ByteBuffer;
import java.util.Arrays;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/** What is counted of one key in one window; the histogram is kept as sorted bins with their counts. */
public final class Window {
    private static final int HEAD_BYTES = 3 * Long.BYTES;
    private static final int BIN_BYTES = Short.BYTES + Integer.BYTES;

    private long rows;
    private long errors;
    private long total;
    private int size;
    private short[] bins = new short[16];
    private int[] counts = new int[16];

    Window add(boolean error, long durationUs) {
        rows++;
        errors += error ? 1 : 0;
        total += durationUs;
        short bin = (short) Bins.of(durationUs);
        int place = Arrays.binarySearch(bins, 0, size, bin);
        if (place < 0) {
            place = -place - 1;
            insert(place, bin);
        }
        counts[place]++;
        return this;
    }

    private void insert(int place, short bin) {
        if (size == bins.length) {
            bins = Arrays.copyOf(bins, 2 * size);
            counts = Arrays.copyOf(counts, 2 * size);
        }
        System.arraycopy(bins, place, bins, place + 1, size - place);
        System.arraycopy(counts, place, counts, place + 1, size - place);
        bins[place] = bin;
        counts[place] = 0;
        size++;
    }

    static Serde<Window> serde() {
        Serializer<Window> write = (topic, window) -> window == null ? null : window.bytes();
        Deserializer<Window> read = (topic, data) -> data == null ? null : of(data);
        return Serdes.serdeFrom(write, read);
    }

    /** Big-endian: rows, errors, total as longs, then a short and an int for every bin. */
    private byte[] bytes() {
        ByteBuffer out = ByteBuffer.allocate(HEAD_BYTES + size * BIN_BYTES);
        out.putLong(rows).putLong(errors).putLong(total);
        for (int i = 0; i < size; i++) {
            out.putShort(bins[i]).putInt(counts[i]);
        }
        return out.array();
    }

    private static Window of(byte[] data) {
        ByteBuffer in = ByteBuffer.wrap(data);
        Window window = new Window();
        window.rows = in.getLong();
        window.errors = in.getLong();
        window.total = in.getLong();
        window.size = in.remaining() / BIN_BYTES;
        int capacity = Math.max(16, window.size + window.size / 4);
        window.bins = new short[capacity];
        window.counts = new int[capacity];
        for (int i = 0; i < window.size; i++) {
            window.bins[i] = in.getShort();
            window.counts[i] = in.getInt();
        }
        return window;
    }
}
