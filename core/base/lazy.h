/* Large libraries are loaded when a function of theirs is called first: `info` opens a file without the linear algebra,
 * graph and drawing libraries, which cost ten times its own time. `make` writes a table of the functions that the program
 * uses of each (core/base/lazy.sh): a call goes through its slot, which at first leads to lazy_resolve(). Only on x86-64 and
 * without sanitizers; elsewhere, and in the tests, the same libraries are linked as usual. */
#ifndef SCMM_BASE_LAZY_H
#define SCMM_BASE_LAZY_H

typedef struct LazyLibrary {
    const char *soname;       /* "libigraph.so.3" */
    const char *const *names; /* of its functions, in the order of the slots */
} LazyLibrary;
/* The address of function i. A library that cannot be loaded ends the program with one line, as the loader of the system
 * would have at the start. Threads may come together. */
void *lazy_resolve(const LazyLibrary *lib, unsigned long i);
#endif
