package davy.bench;

import java.math.BigInteger;

/** Bins of a histogram with 64 to the octave, the same as {@code analyzers.histogram.bin_of}. */
public final class Bins {
    private static final int PER_OCTAVE = 64;
    private static final int FIRST_EXPONENT = 1023 - 20;
    private static final int MANTISSAS = 1024;
    private static final int[] OF_MANTISSA = table();

    private Bins() {}

    /** Bin of a value of at least 2^-20. */
    public static int of(double value) {
        long bits = Double.doubleToRawLongBits(value);
        int octave = (int) (bits >> 52) - FIRST_EXPONENT;
        return 1 + octave * PER_OCTAVE + OF_MANTISSA[(int) (bits >> 42) & (MANTISSAS - 1)];
    }

    private static int[] table() {
        BigInteger thousand = BigInteger.valueOf(MANTISSAS).pow(PER_OCTAVE);
        int[] bins = new int[MANTISSAS];
        int bin = 0;
        for (int m = 0; m < MANTISSAS; m++) {
            BigInteger power = BigInteger.valueOf(MANTISSAS + m).pow(PER_OCTAVE);
            while (thousand.shiftLeft(bin + 1).compareTo(power) <= 0) {
                bin++;
            }
            bins[m] = bin;
        }
        return bins;
    }
}
