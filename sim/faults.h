/* faults.h - carries out the faults of a schedule, and ends those that last. */
#pragma once

#include "members.h"

struct faults;

struct faults *faults_create(const struct schedule *s, struct sim_members *members);
void faults_destroy(struct faults *f);
/* Its time has come. */
void faults_take(struct faults *f, const struct item *item);
/* Time passed. */
void faults_tend(struct faults *f);
/* Everything that lasts ends now, and nobody joins any more: cuts, slow links, stalls, clocks. Who
 * is dead stays dead. */
void faults_end_all(struct faults *f);
/* From now on nothing goes from one to the other. */
void faults_cut_for_good(struct faults *f, int from, int to);
