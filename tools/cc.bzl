"""The project's C++ rules: Bazel's own, quicker to compile.

Tests' own code, which is not under test, is never optimised. Binaries are as the build says, testonly ones too, for
some of these are benchmarks. With --//tools:precompile (.bazelrc) all use precompiled headers; any other build finds what a
file forgot to include.
"""

def _quicker(kwargs, of_tests):
    if [src for src in kwargs.get("srcs", []) if not src.endswith(".cc") and not src.endswith(".h")]:
        return kwargs  # C
    headers = "tests" if of_tests else "product"
    arguments = dict(kwargs)
    arguments["copts"] = kwargs.get("copts", []) + (["-O0"] if of_tests else []) + select({
        "//tools:precompiled": ["-include", "$(BINDIR)/third_party/precompiled/%s.h" % headers],
        "//conditions:default": [],
    })
    arguments["deps"] = kwargs.get("deps", []) + select({
        "//tools:precompiled": ["//third_party/precompiled:" + headers],
        "//conditions:default": [],
    })
    return arguments

def cc_library(**kwargs):
    native.cc_library(**(_quicker(kwargs, kwargs.get("testonly", False)) if "srcs" in kwargs else kwargs))

def cc_binary(**kwargs):
    native.cc_binary(**_quicker(kwargs, False))

def cc_test(**kwargs):
    native.cc_test(**_quicker(kwargs, True))

_STATIC_ABSEIL = [
    "raw_hash_set",
    "hashtablez_sampler",
    "hash",
    "city",
    "low_level_hash",
    "statusor",
    "status",
    "cord",
    "cordz_info",
    "cord_internal",
    "cordz_functions",
    "cordz_handle",
    "exponential_biased",
    "synchronization",
    "graphcycles_internal",
    "time",
    "civil_time",
    "time_zone",
    "bad_optional_access",
    "bad_variant_access",
    "stacktrace",
    "str_format_internal",
    "strerror",
    "symbolize",
    "debugging_internal",
    "demangle_internal",
    "malloc_internal",
    "strings",
    "strings_internal",
    "base",
    "spinlock_wait",
    "int128",
    "throw_delegate",
    "raw_logging_internal",
    "log_severity",
]

# For every binary that ships. Some thirty-five shared objects of Abseil take nearly half of the system calls of a
# start, and each has pages of its own in every process; a minimal guest has libc and Xen's libraries alone. What stands here
# satisfies every reference to Abseil and libstdc++, so that the shared objects, which come behind it, are not needed.
#
# Not -static-libgcc: libxenstore ends its thread with pthread_cancel, for which libc loads libgcc_s.so.1 when it comes
# to that, and aborts where there is none (found in a minimal guest). So it is needed from the start.
STATIC_CXX = [
    "-Wl,--as-needed",
    "-Wl,-Bstatic",
    "-Wl,--start-group",
] + ["-labsl_" + name for name in _STATIC_ABSEIL] + [
    "-lstdc++",
    "-Wl,--end-group",
    "-Wl,-Bdynamic",
]

def _switch_impl(_ctx):
    return []

# A flag of the command line, --//package:name or --no//package:name.
switch = rule(
    implementation = _switch_impl,
    build_setting = config.bool(flag = True),
)
