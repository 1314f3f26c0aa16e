"""Fuzzers that are tests too."""

load(":cc.bzl", "cc_test")

def virtfs_fuzz_test(name, srcs, deps = [], corpus = None, **kwargs):
    """A file with LLVMFuzzerTestOneInput, as a fuzzer and as a test.

    Built with --config=fuzz it is a libFuzzer binary: `./dev fuzz SECONDS` runs them all. Built in any other way it is
    a test that runs each file of the corpus once, as a test case of its own, so that what a fuzzer has found stays
    found. The corpus is in the tree, one input per file; a new crash goes there under a name that says what it was.

    Args:
      name: ends in _fuzz.
      srcs: the sources.
      deps: what they need.
      corpus: the directory of the corpus, in this package; testdata/<name without _fuzz>_corpus if not given.
      **kwargs: handed to cc_test.
    """
    if not name.endswith("_fuzz"):
        fail("a fuzzer's name ends in _fuzz: " + name)
    files = native.glob([(corpus or "testdata/%s_corpus" % name[:-len("_fuzz")]) + "/*"], allow_empty = False)
    cc_test(
        name = name,
        size = "small",
        srcs = srcs,
        args = ["$(rootpath %s)" % file for file in files],
        data = files,
        linkopts = select({
            "//tools:fuzzing": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        tags = ["fuzz"],
        deps = deps + select({
            "//tools:fuzzing": [],
            "//conditions:default": ["//tools:corpus_main"],
        }),
        **kwargs
    )
