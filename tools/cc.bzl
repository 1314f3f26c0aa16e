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

def _switch_impl(_ctx):
    return []

# A flag of the command line, --//package:name or --no//package:name.
switch = rule(
    implementation = _switch_impl,
    build_setting = config.bool(flag = True),
)
