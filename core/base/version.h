/* The program's version: said by --version and in the provenance of every file. */
#ifndef SCMM_BASE_VERSION_H
#define SCMM_BASE_VERSION_H
#define SCMMGPT_VERSION "0.1.0"
#endif
