/* SPDX-License-Identifier: Apache-2.0 */
/* Linker names → names people wrote: C++ (Itanium) and Rust (v0 and legacy), through libiberty. */
#pragma once
#include <glib.h>

#define DEMANGLE_INPUT_MAX 4096 /* longer names are shown as they are */
#define DEMANGLE_OUTPUT_MAX 4096 /* names that unfold further are cut and end in "..." */

/* A new string owned by the caller, or NULL when `name` is no mangled name. Parameter lists and return types are left
 * out: a frame's box is narrow, overloads usually do the same work, and template arguments, which do tell code apart, stay.
 * Rust's hash suffixes are dropped, so that builds compare. */
char *demangle(const char *name);
