import com.android.apksig.ApkSigner;
import com.android.tools.r8.CompilationMode;
import com.android.tools.r8.D8;
import com.android.tools.r8.D8Command;
import com.android.tools.r8.JdkClassFileProvider;
import com.android.tools.r8.OutputMode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.TreeMap;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;

/**
 * Assembles a debug APK: compiled resources and assets, dex code, native libraries; aligned and signed.
 *
 * <p>Arguments: folder of classes, Kotlin's library, Android's classes, resources.apk, folder of unpacked AARs,
 * lowest API level, key store, APK to write.
 */
public final class Apk {
    private static final char[] PASSWORD = "android".toCharArray();

    /** Phones with pages of 16 KiB map libraries straight from the APK; 4 KiB divide it. */
    private static final int PAGE = 16384;

    public static void main(String[] arguments) throws Exception {
        Path classes = Path.of(arguments[0]);
        Path kotlin = Path.of(arguments[1]);
        Path android = Path.of(arguments[2]);
        Path resources = Path.of(arguments[3]);
        Path aars = Path.of(arguments[4]);
        int minSdk = Integer.parseInt(arguments[5]);
        Path apk = Path.of(arguments[7]);
        Path work = Files.createDirectories(apk.resolveSibling("apk-parts"));
        Path unsigned = work.resolve("unsigned.apk");
        dex(classes, kotlin, android, minSdk, work);
        pack(resources, work, aars, unsigned);
        sign(unsigned, Path.of(arguments[6]), minSdk, apk);
    }

    private static void dex(Path classes, Path kotlin, Path android, int minSdk, Path into) throws Exception {
        try (var old = Files.list(into)) {
            for (Path file : old.toList()) {
                Files.delete(file);
            }
        }
        D8Command.Builder command = D8Command.builder().setMinApiLevel(minSdk).setMode(CompilationMode.DEBUG);
        try (var files = Files.walk(classes)) {
            command.addProgramFiles(files.filter(file -> file.toString().endsWith(".class")).toList());
        }
        // Robolectric's Android comes without java.*, which the JDK that runs this lends.
        command.addLibraryResourceProvider(JdkClassFileProvider.fromSystemJdk());
        command.addProgramFiles(kotlin).addLibraryFiles(android).setOutput(into, OutputMode.DexIndexed);
        D8.run(command.build());
    }

    private static void pack(Path resources, Path dex, Path aars, Path apk) throws IOException {
        try (ZipOutputStream out = new ZipOutputStream(Files.newOutputStream(apk));
                ZipFile linked = new ZipFile(resources.toFile())) {
            for (ZipEntry entry : linked.stream().toList()) {
                add(out, entry.getName(), linked.getInputStream(entry), entry.getMethod() == ZipEntry.STORED);
            }
            try (var files = Files.list(dex)) {
                for (Path file : files.filter(name -> name.toString().endsWith(".dex")).sorted().toList()) {
                    add(out, file.getFileName().toString(), Files.newInputStream(file), false);
                }
            }
            for (var library : libraries(aars).entrySet()) {
                add(out, library.getKey(), Files.newInputStream(library.getValue()), true);
            }
        }
    }

    /** {@code lib/<abi>/<name>.so} to the file in an AAR's {@code jni} folder. */
    private static TreeMap<String, Path> libraries(Path aars) throws IOException {
        TreeMap<String, Path> found = new TreeMap<>();
        try (var files = Files.walk(aars)) {
            for (Path file : files.filter(name -> name.toString().endsWith(".so")).toList()) {
                String abi = file.getParent().getFileName().toString();
                found.put("lib/" + abi + "/" + file.getFileName(), file);
            }
        }
        return found;
    }

    private static void add(ZipOutputStream out, String name, InputStream from, boolean stored) throws IOException {
        byte[] bytes;
        try (from) {
            bytes = from.readAllBytes();
        }
        ZipEntry entry = new ZipEntry(name);
        entry.setTime(0); // The same inputs give the same file.
        if (stored) {
            CRC32 sum = new CRC32();
            sum.update(bytes);
            entry.setMethod(ZipEntry.STORED);
            entry.setSize(bytes.length);
            entry.setCrc(sum.getValue());
        }
        out.putNextEntry(entry);
        out.write(bytes);
        out.closeEntry();
    }

    private static void sign(Path unsigned, Path keys, int minSdk, Path apk) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream stream = Files.newInputStream(keys)) {
            store.load(stream, PASSWORD);
        }
        PrivateKey key = (PrivateKey) store.getKey("debug", PASSWORD);
        X509Certificate certificate = (X509Certificate) store.getCertificate("debug");
        var signer = new ApkSigner.SignerConfig.Builder("debug", key, List.of(certificate)).build();
        new ApkSigner.Builder(List.of(signer))
                .setInputApk(unsigned.toFile())
                .setOutputApk(apk.toFile())
                .setMinSdkVersion(minSdk)
                .setV1SigningEnabled(false)
                .setV2SigningEnabled(true)
                .setV3SigningEnabled(false)
                .setAlignmentPreserved(false)
                .setLibraryPageAlignmentBytes(PAGE)
                .build()
                .sign();
    }
}
