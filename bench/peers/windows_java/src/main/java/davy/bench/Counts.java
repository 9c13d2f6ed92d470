package davy.bench;

import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;

/** A sparse histogram: sorted bins with their counts. Public fields, because it is also the accumulator of a Flink function. */
public final class Counts {
    private static final int ROOM = 16;

    public int size;
    public int[] bins = new int[ROOM];
    public int[] counts = new int[ROOM];

    void add(int bin, int count) {
        int place = Arrays.binarySearch(bins, 0, size, bin);
        if (place < 0) {
            place = -place - 1;
            insert(place, bin);
        }
        counts[place] += count;
    }

    private void insert(int place, int bin) {
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

    Map<String, Integer> byName() {
        Map<String, Integer> found = new TreeMap<>();
        for (int i = 0; i < size; i++) {
            found.put(Integer.toString(bins[i]), counts[i]);
        }
        return found;
    }
}
