/* The clock by which work is timed. */
#ifndef SCMM_BASE_CLOCK_H
#define SCMM_BASE_CLOCK_H
/* Seconds since some moment in the past; never goes back, whatever the time of day is set to. */
double clock_seconds(void);
#endif
