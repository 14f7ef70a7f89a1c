/* The constants of annotation. Set on held-out cells of the training sets only (tests/eval says how); never on the files
 * that the program is judged by. */
#ifndef SCMM_SESSION_ANNOTATE_TUNING_H
#define SCMM_SESSION_ANNOTATE_TUNING_H

#define ANNOTATE_SHARPNESS 2.5   /* softmax(score * this), score = z(similarity) + w z(markers) */
#define ANNOTATE_SMOOTHED_POWER 1.0 /* probabilities after smoothing are raised to this and normalised */
#define ANNOTATE_REFINE_LAMBDA 2.0
#define ANNOTATE_REFINE_CELLS 500 /* smoothing is on by itself from here */
#define ANNOTATE_NEIGHBOURS 15
#define ANNOTATE_SURE 0.5         /* a cell of a rare label keeps its own answer from this probability */
#define ANNOTATE_FEW_SHOT 2.0     /* weight of the reference cells beside texts and markers */
#define ANNOTATE_MATCH 0.5        /* weight of the matching head's log odds among the best K */
#define UNKNOWN_MARGIN 0.5        /* another type fits this much better than every candidate (units of score) */
#define UNKNOWN_LEVEL (-1.5)      /* with the whole library as candidates: -score of the best */
/* Mean score of the five best cells below which the type is said to be absent. */
#define QUERY_ABSENT 2.0
#endif
