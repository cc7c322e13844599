// Runs command-line tools of Apache Kafka one after the other in one JVM: each starts in milliseconds instead of a second.
//
// A line of input is the tool's class and its arguments, with tabs between them. The answer is three lines: the exit code,
// standard output and standard error, with \n and \\ for line ends and backslashes.

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.locks.LockSupport;

import org.apache.kafka.common.utils.Exit;

public class Toolbox {
    static final PrintStream answers = System.out;
    static ByteArrayOutputStream out;
    static ByteArrayOutputStream err;

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split("\t", -1);
            out = new ByteArrayOutputStream();
            err = new ByteArrayOutputStream();
            System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
            // argparse4j ends the JVM itself where a command line is wrong: the answer is given on the way.
            Thread last = new Thread(() -> answer(1));
            Runtime.getRuntime().addShutdownHook(last);
            int status = status(words[0], Arrays.copyOfRange(words, 1, words.length));
            Runtime.getRuntime().removeShutdownHook(last);
            answer(status);
        }
    }

    static void answer(int status) {
        System.out.flush();
        System.err.flush();
        answers.println(status);
        answers.println(oneLine(out));
        answers.println(oneLine(err));
        answers.flush();
    }

    // A tool that exits must not come back to its own handlers, as it would from an exception: its thread stays where it is.
    static int status(String tool, String[] arguments) throws InterruptedException {
        BlockingQueue<Integer> ended = new LinkedBlockingQueue<>();
        Exit.Procedure procedure = (status, message) -> {
            ended.add(status);
            while (true) {
                LockSupport.park();
            }
        };
        Exit.setExitProcedure(procedure);
        Exit.setHaltProcedure(procedure);
        Thread thread = new Thread(() -> ended.add(run(tool, arguments)), "main");
        thread.setDaemon(true);
        thread.start();
        return ended.take();
    }

    static int run(String tool, String[] arguments) {
        try {
            Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
            return 0;
        } catch (InvocationTargetException failure) {
            System.err.print("Exception in thread \"main\" ");
            failure.getCause().printStackTrace();
            return 1;
        } catch (ReflectiveOperationException failure) {
            System.err.println(failure);
            return 127;
        }
    }

    static String oneLine(ByteArrayOutputStream bytes) {
        return bytes.toString(StandardCharsets.UTF_8).replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r");
    }
}
