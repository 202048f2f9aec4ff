-- Postgres finds the rows that a build replaces by these. DuckDB reads a column faster than an index.
create index if not exists item_spans_subscription on stripe_metrics.item_spans (subscription);

create index if not exists item_spans_customer on stripe_metrics.item_spans (customer);

create index if not exists item_spans_price on stripe_metrics.item_spans (price);

create index if not exists movements_customer on stripe_metrics.movements (customer);

create index if not exists _customer_months_customer on stripe_metrics._customer_months (customer);

create index if not exists _subscriptions_subscription on stripe_metrics._subscriptions (subscription);

create index if not exists trials_subscription on stripe_metrics.trials (subscription);

create index if not exists _scheduled_subscription on stripe_metrics._scheduled (subscription);

create index if not exists subscription_events_subscription on stripe_metrics.subscription_events (subscription);

create index if not exists _gaps_subscription on stripe_metrics._gaps (subscription);

create index if not exists _due_subscription on stripe_metrics._due (subscription);

create index if not exists dunning_invoice on stripe_metrics.dunning (invoice);
