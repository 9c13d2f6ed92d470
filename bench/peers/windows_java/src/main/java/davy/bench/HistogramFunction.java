package davy.bench;

import java.util.Map;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.functions.AggregateFunction;

/** Counts of bins for Flink SQL, as its documentation has user-defined aggregate functions. */
@FunctionHint(output = @DataTypeHint("MAP<STRING, INT>"))
public final class HistogramFunction extends AggregateFunction<Map<String, Integer>, Counts> {
    private static final long serialVersionUID = 1L;

    @Override
    public Counts createAccumulator() {
        return new Counts();
    }

    public void accumulate(Counts held, int bin) {
        held.add(bin, 1);
    }

    public void merge(Counts held, Iterable<Counts> others) {
        for (Counts other : others) {
            for (int i = 0; i < other.size; i++) {
                held.add(other.bins[i], other.counts[i]);
            }
        }
    }

    @Override
    public Map<String, Integer> getValue(Counts held) {
        return held.byName();
    }
}
