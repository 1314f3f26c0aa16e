// Where docs/virtfs.md, the text of <xen/io/virtfs.h> and what a compiler makes of that header differ.
//
// Each function returns one sentence for each difference; none means that they agree. The compiled values are those
// that this binary was built with; the two texts are arguments so that the test can try what it would say of others.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace virtfs::spec {

using Differences = std::vector<std::string>;

// Fields, offsets, sizes: tables and diagrams of the document, diagrams and structs of the header, the compiler.
Differences CompareLayouts(std::string_view document, std::string_view header);

// Flags, statuses, limits; and that no macro of the header is unknown to the document or to this test.
Differences CompareConstants(std::string_view document, std::string_view header);

// Names and bounds of the xenstore nodes.
Differences CompareNodes(std::string_view document, std::string_view header);

// The options of a share (options/option_table.h): each is a node of P/ in the document with the same default, has a
// paragraph in virtfs-attach's manual page with that default, and there are no others.
Differences CompareOptions(std::string_view document, std::string_view manual);

// Numbers of the states: the document and <xen/io/xenbus.h>.
Differences CompareStates(std::string_view document);

// References to sections that the document does not have.
Differences CompareSections(std::string_view document);

}  // namespace virtfs::spec
