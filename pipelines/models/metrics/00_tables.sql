-- The tables of the schema, all money in the smallest unit of its currency. Those that begin with an underscore are the
-- build's own.

-- One row, the user's: see docs/metrics.md.
create table if not exists stripe_metrics.settings (
    timezone text, discounts text, metered text, churn_at text, past_due_days bigint, pause text, margin decimal(9, 4),
    reporting_currency text, soon_days bigint, trial_days bigint, churn_days bigint, largest_share decimal(9, 4),
    falling_share decimal(9, 4), least_share decimal(9, 4));

-- The user's own: how many units of `settings.reporting_currency` one unit of a currency is.
create table if not exists stripe_metrics.exchange_rates (currency text, rate decimal(38, 12));

create table if not exists stripe_metrics.currencies (currency text, decimals bigint);

-- How far each account is built: the newest moment that its tables showed.
create table if not exists stripe_metrics._builds (_account_id text, as_of timestamptz);

-- The next build takes what is stored from then on (null: everything), unless the options are others by then.
create table if not exists stripe_metrics._progress (since timestamptz, options text);

create table if not exists stripe_metrics._months (_account_id text, month date);

create table if not exists stripe_metrics.item_spans (
    _account_id text, customer text, subscription text, item text, price text, product text, quantity bigint, currency text,
    starts timestamptz, ends timestamptz, mrr bigint, arr bigint, list_mrr bigint, evidence text, exact boolean,
    mrr_converted bigint, arr_converted bigint, list_mrr_converted bigint);

create table if not exists stripe_metrics.movements (
    _account_id text, customer text, currency text, day date, movement text, mrr bigint, arr bigint, mrr_before bigint,
    mrr_after bigint, mrr_converted bigint, arr_converted bigint, mrr_before_converted bigint, mrr_after_converted bigint);

-- What a customer pays at the ends of months: from `month` until the month before `until`.
create table if not exists stripe_metrics._customer_months (
    _account_id text, customer text, currency text, month date, until date, mrr bigint, arr bigint, cohort date,
    mrr_converted bigint, arr_converted bigint);

create table if not exists stripe_metrics.trials (
    _account_id text, subscription text, customer text, currency text, started_at timestamptz, ended_at timestamptz,
    converted boolean);

create table if not exists stripe_metrics.subscription_events (
    _account_id text, moment timestamptz, subscription text, customer text, currency text, kind text, before text,
    after text, mrr bigint, mrr_converted bigint);

-- `subscription` is the schedule's id where a schedule will begin one.
create table if not exists stripe_metrics._scheduled (
    _account_id text, date date, customer text, subscription text, currency text, mrr bigint, reason text,
    is_planned boolean);

create table if not exists stripe_metrics.dunning (
    _account_id text, invoice text, customer text, currency text, amount bigint, first_failed_at timestamptz,
    attempts bigint, outcome text, settled_at timestamptz, amount_converted bigint);

-- What a subscription is now. `period_ends`: when it is billed next; `card_expires`: the first day on which its card is
-- no longer valid; `pays_by` is null where no payment method is known.
create table if not exists stripe_metrics._subscriptions (
    _account_id text, subscription text, customer text, currency text, status text, mrr bigint, arr bigint,
    list_mrr bigint, started_at timestamptz, trial_ends timestamptz, ends_at timestamptz, canceled_at timestamptz,
    ended_at timestamptz, reason text, feedback text, period_ends timestamptz, longest text, pays_by text,
    card_expires date);

-- What could not be known of a subscription, by kind: see the view quality.
create table if not exists stripe_metrics._gaps (
    _account_id text, subscription text, kind text, currency text, mrr bigint);

create table if not exists stripe_metrics._unloaded (table_name text);

create table if not exists stripe_metrics._names (_account_id text, id text, name text);

create table if not exists stripe_metrics._inactive_prices (_account_id text, price text);

create table if not exists stripe_metrics._revenue (
    _account_id text, currency text, month date, collected bigint, refunded bigint, disputed bigint);

create table if not exists stripe_metrics._balance (
    _account_id text, currency text, month date, charges bigint, refunds bigint, disputes bigint, fees bigint,
    other bigint, net bigint);

-- When a subscription has to be built again though no row of it is stored: the next moment that it waits for.
create table if not exists stripe_metrics._due (_account_id text, subscription text, moment timestamptz);

-- Prices and coupons as the last build saw them.
create table if not exists stripe_metrics._offers (_account_id text, kind text, id text, content text);

-- Of which files the tables and views are.
create table if not exists stripe_metrics._layout (layout text);
