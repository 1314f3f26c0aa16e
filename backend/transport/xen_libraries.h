// Xen's C libraries, whose headers lack extern "C".
#pragma once

extern "C" {
#include <xenevtchn.h>  // IWYU pragma: export
#include <xengnttab.h>  // IWYU pragma: export
}
