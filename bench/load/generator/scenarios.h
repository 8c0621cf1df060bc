// What the generator can be asked to do; one of them per run.
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include <stdio.h>
#include <stdlib.h>

#include "fail.h"
#include "options.h"

void run_flow(const Options *options);
void run_hold(const Options *options);
void run_storm(const Options *options);
void run_stun(const Options *options);
void run_churn(const Options *options);

#endif
