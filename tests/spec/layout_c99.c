/* The header as strict C99, alone. By its path from the top, so that it is no system header to the compiler's warnings.
 */
#include "include/xen/io/virtfs.h"
#include "tests/spec/layout.h"
