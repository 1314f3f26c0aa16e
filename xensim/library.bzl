"""Shared objects that stand in for Xen's at run time."""

# They are loaded by programs of any build, the real xenstored among them: never instrumented, no libstdc++ needed.
_PLAIN = ["-fno-sanitize=all"]
PLAIN_COPTS = _PLAIN + ["-O2"]

def simulated_library(name, soname, srcs, version_script, copts = [], deps = []):
    """lib/<soname>: a shared object that exports what the version script says."""
    native.cc_binary(
        name = "lib/" + soname,
        srcs = srcs,
        additional_linker_inputs = [version_script],
        copts = PLAIN_COPTS + copts,
        linkopts = _PLAIN + [
            "-Wl,-soname," + soname,
            "-static-libstdc++",
            "-static-libgcc",
            "-ldl",
            "-Wl,--version-script=$(location %s)" % version_script,
        ],
        linkshared = True,
        linkstatic = True,
        visibility = ["//visibility:private"],
        deps = deps,
    )
    native.alias(name = name, actual = ":lib/" + soname)
