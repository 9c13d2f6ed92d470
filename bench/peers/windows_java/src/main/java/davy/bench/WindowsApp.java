package davy.bench;

import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;

/** Counts events by key in tumbling windows with the DSL: arguments are bootstrap, topic, events, run, output, folder, schema file. */
public final class WindowsApp {
    private static final Duration LENGTH = Duration.ofSeconds(5);
    private static final Duration GRACE = Duration.ofHours(1);
    private static final String[] KEY = {"experiment_id", "service", "environment", "version", "variant", "segment"};

    private WindowsApp() {}

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0];
        String topic = arguments[1];
        long events = Long.parseLong(arguments[2]);
        String run = arguments[3];
        String output = arguments[4];
        Path folder = Path.of(arguments[5]);
        Serde<GenericRecord> event = events(new Schema.Parser().parse(new File(arguments[6])));
        AtomicLong seen = new AtomicLong();
        CountDownLatch all = new CountDownLatch(1);

        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(topic, Consumed.with(Serdes.ByteArray(), event)
                        .withTimestampExtractor((message, partitionTime) ->
                                (long) ((GenericRecord) message.value()).get("timestamp") / 1000))
                .groupBy((none, value) -> key(value), Grouped.with(Serdes.String(), event))
                .windowedBy(TimeWindows.ofSizeAndGrace(LENGTH, GRACE))
                .aggregate(Window::new, (key, value, window) -> {
                    long number = seen.incrementAndGet();
                    if (number == 1) {
                        Mark.write(folder, "started");
                    } else if (number == events) {
                        all.countDown();
                    }
                    return window.add((int) value.get("status") >= 500, (long) value.get("duration_us"));
                }, Materialized.with(Serdes.String(), Window.serde()))
                .toStream((Windowed<String> key, Window window) -> key.window().start() + "\t" + key.key())
                .to(output, Produced.with(Serdes.String(), Window.serde()));

        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, run);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, folder.resolve("state").toString());
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Runtime.getRuntime().availableProcessors());
        settings.put("auto.offset.reset", "earliest");
        try (KafkaStreams streams = new KafkaStreams(builder.build(), settings)) {
            streams.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
                return null;
            });
            streams.start();
            all.await();
        }
        Mark.write(folder, "done");
    }

    /** The event's key as text, as {@code window.key_text} in Python writes it. */
    private static String key(GenericRecord event) {
        StringBuilder key = new StringBuilder(80);
        for (String name : KEY) {
            key.append(key.isEmpty() ? "" : "\t").append(Objects.toString(event.get(name), ""));
        }
        return key.toString();
    }

    /** Avro's own reading and writing of the single-object encoding. */
    private static Serde<GenericRecord> events(Schema schema) {
        ThreadLocal<BinaryMessageDecoder<GenericRecord>> decoder =
                ThreadLocal.withInitial(() -> new BinaryMessageDecoder<>(new GenericData(), schema));
        ThreadLocal<BinaryMessageEncoder<GenericRecord>> encoder =
                ThreadLocal.withInitial(() -> new BinaryMessageEncoder<>(new GenericData(), schema));
        Deserializer<GenericRecord> read = (topic, data) -> {
            try {
                return decoder.get().decode(data);
            } catch (IOException error) {
                throw new SerializationException(error);
            }
        };
        Serializer<GenericRecord> write = (topic, value) -> {
            try {
                return encoder.get().encode(value).array();
            } catch (IOException error) {
                throw new SerializationException(error);
            }
        };
        return Serdes.serdeFrom(write, read);
    }
}
