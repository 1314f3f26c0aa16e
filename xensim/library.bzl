"""Shared objects that stand in for Xen's at run time, without the sanitizers of the build that uses them.

They are loaded by programs of any build, the real xenstored among them, which cannot load an instrumented library.
"""

def _plain_transition_impl(_settings, _attr):
    return {
        "//command_line_option:compilation_mode": "opt",
        "//command_line_option:copt": ["-O2", "-Wall", "-Wextra", "-Werror"],
        "//command_line_option:linkopt": [],
        "//command_line_option:platform_suffix": "plain",
        "//command_line_option:strip": "sometimes",
        "//tools:precompile": False,
    }

_plain_transition = transition(
    implementation = _plain_transition_impl,
    inputs = [],
    outputs = [
        "//command_line_option:compilation_mode",
        "//command_line_option:copt",
        "//command_line_option:linkopt",
        "//command_line_option:platform_suffix",
        "//command_line_option:strip",
        "//tools:precompile",
    ],
)

def _plain_libraries_impl(ctx):
    links = []
    for library in ctx.files.srcs:
        link = ctx.actions.declare_file("lib/" + library.basename)
        ctx.actions.symlink(output = link, target_file = library)
        links.append(link)
    return [DefaultInfo(files = depset(links), runfiles = ctx.runfiles(files = links))]

# The shared objects of `srcs`, built plain, together in the directory lib/.
plain_libraries = rule(
    implementation = _plain_libraries_impl,
    attrs = {
        "srcs": attr.label_list(cfg = _plain_transition),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)

def simulated_library(soname, version_script, **kwargs):
    """A shared object that exports what the version script says and needs no libstdc++."""
    native.cc_binary(
        name = soname,
        additional_linker_inputs = [version_script],
        linkopts = [
            "-Wl,-soname," + soname,
            "-Wl,--version-script=$(location %s)" % version_script,
            # Bazel itself adds a last -lstdc++, which is then not needed any more.
            "-l:libstdc++.a",
            "-static-libgcc",
            "-Wl,--as-needed",
        ],
        linkshared = True,
        linkstatic = True,
        tags = ["manual"],  # built by plain_libraries only
        **kwargs
    )
