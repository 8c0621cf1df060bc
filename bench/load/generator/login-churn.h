// Scenario: clients that log in and out at a steady rate.
#ifndef LOGIN_CHURN_H
#define LOGIN_CHURN_H

#include "options.h"

void run_login_churn(const Options *options);

#endif
