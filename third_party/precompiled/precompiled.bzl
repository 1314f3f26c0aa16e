"""Headers of Debian's packages, parsed once for all files of a build (docs/decisions/0016).

//tools:cc.bzl has every compilation use what this rule makes.
"""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "CPP_COMPILE_ACTION_NAME")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

def _precompiled_headers_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    header = ctx.actions.declare_file(ctx.label.name + ".h")
    ctx.actions.write(header, "".join(["#include <%s>\n" % name for name in ctx.attr.headers]))

    # Both compilers take it in place of the header beside it.
    precompiled = ctx.actions.declare_file(header.basename + ".gch")

    flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + ctx.attr.copts + ["-w", "-x", "c++-header"]
    for name in ctx.attr.headers[:-1]:
        flags += ["-include", name]
    ctx.actions.run(
        arguments = cc_common.get_memory_inefficient_command_line(
            feature_configuration = features,
            action_name = CPP_COMPILE_ACTION_NAME,
            variables = cc_common.create_compile_variables(
                cc_toolchain = toolchain,
                feature_configuration = features,
                output_file = precompiled.path,
                # clang would look for a file of ours, when the result is used, where the sandbox of this action was.
                source_file = "/usr/include/" + ctx.attr.headers[-1],
                use_pic = ctx.var["COMPILATION_MODE"] != "opt",
                user_compile_flags = flags,
            ),
        ),
        env = {"PATH": "/usr/bin:/bin"},
        executable = cc_common.get_tool_for_action(
            feature_configuration = features,
            action_name = CPP_COMPILE_ACTION_NAME,
        ),
        # The versions, because Bazel does not see it when a package's headers change.
        inputs = depset([ctx.file.versions], transitive = [toolchain.all_files]),
        mnemonic = "PrecompileHeaders",
        outputs = [precompiled],
    )
    files = depset([header, precompiled])
    return [
        DefaultInfo(files = files),
        CcInfo(compilation_context = cc_common.create_compilation_context(headers = files)),
    ]

# NAME.h, which includes the headers, and its precompiled form, good for compilations with the same flags.
precompiled_headers = rule(
    implementation = _precompiled_headers_impl,
    attrs = {
        "copts": attr.string_list(),
        "headers": attr.string_list(mandatory = True, doc = "as in #include <...>; the last is one under /usr/include"),
        "versions": attr.label(allow_single_file = True, mandatory = True, doc = "changes when the headers do"),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
