-- The views from which the dbt package fivetran/dbt_stripe runs unchanged: its tables, by its names and types.

-- `pipelines/models/dbt.py` puts in the names of the schemas, and what the databases write differently: {items(array)}
-- are the entries of a JSON array, as e.r, with their places from 1 as e.n. Moments are without a zone, in UTC.
-- A step into JSON after another stands behind parentheses: versions of DuckDB disagree on which of two binds first.

-- The account itself.
create or replace view {schema}.account as
select
    x.id, x.business_type, x.charges_enabled, x.country, x.default_currency, x.details_submitted, x.email,
    x.payouts_enabled, x.type, x.created at time zone 'UTC' as created,
    x.business_profile ->> 'name' as business_profile_name, x.business_profile ->> 'mcc' as business_profile_mcc,
    x.company ->> 'name' as company_name, x.company ->> 'phone' as company_phone,
    (x._deleted_at is not null) as is_deleted, x._synced_at at time zone 'UTC' as _fivetran_synced,
    (x.company -> 'address') ->> 'city' as company_address_city,
    (x.company -> 'address') ->> 'country' as company_address_country,
    (x.company -> 'address') ->> 'line1' as company_address_line_1,
    (x.company -> 'address') ->> 'line2' as company_address_line_2,
    (x.company -> 'address') ->> 'postal_code' as company_address_postal_code,
    (x.company -> 'address') ->> 'state' as company_address_state, cast(x.metadata as text) as metadata
from {dataset}.accounts x where x.id = x._account_id;

-- Every movement of the balance.
create or replace view {schema}.balance_transaction as
select
    x.id, x.amount, x.currency, x.description, x.exchange_rate, x.fee, x.net, x.reporting_category, x.source,
    x.status, x.type, x.available_on at time zone 'UTC' as available_on, x.created at time zone 'UTC' as created,
    cast(null as text) as connected_account_id,
    coalesce(x.payout, case when x.type like 'payout%' then x.source end) as payout_id,
    x._synced_at at time zone 'UTC' as _fivetran_synced
from {dataset}.balance_transactions x where x._deleted_at is null;

-- What each movement cost, fee by fee.
create or replace view {schema}.fee as
select
    x.id as balance_transaction_id, e.n - 1 as index, cast(e.r ->> 'amount' as bigint) as amount,
    (e.r ->> 'application') as application, cast(null as text) as connected_account_id,
    (e.r ->> 'currency') as currency, (e.r ->> 'description') as description, (e.r ->> 'type') as type,
    x._synced_at at time zone 'UTC' as _fivetran_synced
from {dataset}.balance_transactions x cross join lateral {items(x.fee_details)}
where x._deleted_at is null;

-- Charges, with the invoice that they paid.
create or replace view {schema}.charge as
select
    x.id, x.amount, x.amount_refunded, x.application, x.application_fee_amount, x.calculated_statement_descriptor,
    x.captured, x.currency, x.description, x.failure_code, x.failure_message, x.livemode, x.on_behalf_of, x.paid,
    x.receipt_email, x.receipt_number, x.receipt_url, x.refunded, x.source_transfer, x.statement_descriptor,
    x.status, x.transfer_group, x.created at time zone 'UTC' as created,
    x.balance_transaction as balance_transaction_id, x.customer as customer_id,
    x.payment_intent as payment_intent_id, x.payment_method as payment_method_id, x.transfer as transfer_id,
    x.source ->> 'id' as source_id,
    case when (x.source ->> 'object') = 'card' then (x.source ->> 'id') end as card_id, p.invoice as invoice_id,
    x.transfer_data ->> 'destination' as transfer_data_destination,
    x.transfer_data ->> 'destination' as destination, cast(null as text) as connected_account_id,
    x.fraud_details ->> 'stripe_report' as fraud_details_stripe_report,
    x.fraud_details ->> 'user_report' as fraud_details_user_report,
    x.outcome ->> 'network_status' as outcome_network_status, x.outcome ->> 'reason' as outcome_reason,
    x.outcome ->> 'risk_level' as outcome_risk_level, x.outcome ->> 'seller_message' as outcome_seller_message,
    x.outcome ->> 'type' as outcome_type,
    cast((x.outcome ->> 'risk_score') as double precision) as outcome_risk_score,
    x.billing_details ->> 'email' as billing_detail_email, x.billing_details ->> 'name' as billing_detail_name,
    x.billing_details ->> 'phone' as billing_detail_phone, x.shipping ->> 'carrier' as shipping_carrier,
    x.shipping ->> 'name' as shipping_name, x.shipping ->> 'phone' as shipping_phone,
    x.shipping ->> 'tracking_number' as shipping_tracking_number,
    x._synced_at at time zone 'UTC' as _fivetran_synced,
    (x.billing_details -> 'address') ->> 'city' as billing_detail_address_city,
    (x.billing_details -> 'address') ->> 'country' as billing_detail_address_country,
    (x.billing_details -> 'address') ->> 'line1' as billing_detail_address_line1,
    (x.billing_details -> 'address') ->> 'line2' as billing_detail_address_line2,
    (x.billing_details -> 'address') ->> 'postal_code' as billing_detail_address_postal_code,
    (x.billing_details -> 'address') ->> 'state' as billing_detail_address_state,
    (x.shipping -> 'address') ->> 'city' as shipping_address_city,
    (x.shipping -> 'address') ->> 'country' as shipping_address_country,
    (x.shipping -> 'address') ->> 'line1' as shipping_address_line_1,
    (x.shipping -> 'address') ->> 'line2' as shipping_address_line_2,
    (x.shipping -> 'address') ->> 'postal_code' as shipping_address_postal_code,
    (x.shipping -> 'address') ->> 'state' as shipping_address_state, cast(x.metadata as text) as metadata
from {dataset}.charges x
left join (
    select _account_id, payment ->> 'payment_intent' as intent, min(invoice) as invoice from {dataset}.invoice_payments
    where _deleted_at is null group by 1, 2
) p on p._account_id = x._account_id and p.intent = x.payment_intent
where x._deleted_at is null;

-- Coupons, deleted ones too: discounts still name them.
create or replace view {schema}.coupon as
select
    x.id, x.amount_off, x.currency, x.duration, x.duration_in_months, x.livemode, x.max_redemptions, x.name,
    x.percent_off, x.times_redeemed, x.valid, x.created at time zone 'UTC' as created,
    x.redeem_by at time zone 'UTC' as redeem_by, x._synced_at at time zone 'UTC' as _fivetran_synced,
    cast(x.metadata as text) as metadata
from {dataset}.coupons x;

-- Credit notes.
create or replace view {schema}.credit_note as
select
    x.id, x.amount, x.currency, x.discount_amount, x.livemode, x.memo, x.number, x.pdf, x.reason, x.status,
    x.subtotal, x.total, x.type, x.customer_balance_transaction, x.created at time zone 'UTC' as created,
    x.voided_at at time zone 'UTC' as voided_at, x.invoice as invoice_id, (x.refunds -> 0) ->> 'refund' as refund_id,
    x._synced_at at time zone 'UTC' as _fivetran_synced, cast(x.metadata as text) as metadata
from {dataset}.credit_notes x where x._deleted_at is null;

-- Their lines.
create or replace view {schema}.credit_note_line_item as
select
    x.id, x.amount, x.description, x.discount_amount, x.livemode, x.quantity, x.type, x.unit_amount,
    x.unit_amount_decimal, x._parent_id as credit_note_id, x._synced_at at time zone 'UTC' as _fivetran_synced
from {dataset}.credit_note_line_items x where x._deleted_at is null;

-- Customers, deleted ones too.
create or replace view {schema}.customer as
select
    x.id, x.balance, x.currency, x.delinquent, x.description, x.email, x.invoice_prefix, x.livemode, x.name,
    x.phone, x.tax_exempt, x.created at time zone 'UTC' as created, x.balance as account_balance,
    x.default_source as source_id,
    case when x.default_source like 'card_%' then x.default_source end as default_card_id,
    case when x.default_source like 'ba_%' then x.default_source end as bank_account_id,
    (x._deleted_at is not null) as is_deleted,
    x.invoice_settings ->> 'default_payment_method' as invoice_settings_default_payment_method,
    x.invoice_settings ->> 'footer' as invoice_settings_footer, x.shipping ->> 'carrier' as shipping_carrier,
    x.shipping ->> 'name' as shipping_name, x.shipping ->> 'phone' as shipping_phone,
    x.shipping ->> 'tracking_number' as shipping_tracking_number,
    x._synced_at at time zone 'UTC' as _fivetran_synced, x.address ->> 'city' as address_city,
    x.address ->> 'country' as address_country, x.address ->> 'line1' as address_line_1,
    x.address ->> 'line2' as address_line_2, x.address ->> 'postal_code' as address_postal_code,
    x.address ->> 'state' as address_state, (x.shipping -> 'address') ->> 'city' as shipping_address_city,
    (x.shipping -> 'address') ->> 'country' as shipping_address_country,
    (x.shipping -> 'address') ->> 'line1' as shipping_address_line_1,
    (x.shipping -> 'address') ->> 'line2' as shipping_address_line_2,
    (x.shipping -> 'address') ->> 'postal_code' as shipping_address_postal_code,
    (x.shipping -> 'address') ->> 'state' as shipping_address_state, cast(x.metadata as text) as metadata
from {dataset}.customers x;

-- Disputes.
create or replace view {schema}.dispute as
select
    x.id, x.amount, x.currency, x.is_charge_refundable, x.livemode, x.reason, x.status,
    x.created at time zone 'UTC' as created, x.charge as charge_id,
    (x.balance_transactions -> 0) ->> 'id' as balance_transaction, cast(null as text) as connected_account_id,
    x._synced_at at time zone 'UTC' as _fivetran_synced, cast(x.metadata as text) as metadata
from {dataset}.disputes x where x._deleted_at is null;

-- Invoices, deleted ones too, with the payment that settled them.
create or replace view {schema}.invoice as
select
    x.id, x.amount_due, x.amount_paid, x.amount_remaining, x.post_payment_credit_notes_amount,
    x.pre_payment_credit_notes_amount, x.attempt_count, x.attempted, x.auto_advance, x.billing_reason, x.currency,
    x.description, x.ending_balance, x.footer, x.hosted_invoice_url, x.invoice_pdf, x.livemode, x.number,
    x.receipt_number, x.starting_balance, x.statement_descriptor, x.status, x.subtotal, x.total,
    x.created at time zone 'UTC' as created, x.due_date at time zone 'UTC' as due_date,
    x.next_payment_attempt at time zone 'UTC' as next_payment_attempt,
    x.period_end at time zone 'UTC' as period_end, x.period_start at time zone 'UTC' as period_start,
    x.webhooks_delivered_at at time zone 'UTC' as webhooks_delivered_at, x.collection_method as billing,
    x.customer as customer_id, x.default_source as default_source_id,
    x.default_payment_method as default_payment_method_id,
    (x.parent -> 'subscription_details') ->> 'subscription' as subscription_id, (x.status = 'paid') as paid,
    (x._deleted_at is not null) as is_deleted, t.tax, p.intent as payment_intent_id, p.charge as charge_id,
    to_timestamp(cast(x.status_transitions ->> 'finalized_at' as bigint)) at time zone 'UTC' as finalized_at,
    to_timestamp(cast(x.status_transitions ->> 'finalized_at' as bigint)) at time zone 'UTC' as status_transitions_finalized_at,
    to_timestamp(cast(x.status_transitions ->> 'marked_uncollectible_at' as bigint)) at time zone 'UTC' as status_transitions_marked_uncollectible_at,
    to_timestamp(cast(x.status_transitions ->> 'paid_at' as bigint)) at time zone 'UTC' as status_transitions_paid_at,
    to_timestamp(cast(x.status_transitions ->> 'voided_at' as bigint)) at time zone 'UTC' as status_transitions_voided_at,
    x._synced_at at time zone 'UTC' as _fivetran_synced, cast(x.metadata as text) as metadata
from {dataset}.invoices x
left join (
    select q._account_id, q.invoice, coalesce(min(q.payment ->> 'payment_intent') filter (where q.status = 'paid'),
           min(q.payment ->> 'payment_intent')) as intent,
           coalesce(min(i.latest_charge) filter (where q.status = 'paid'), min(i.latest_charge)) as charge
    from {dataset}.invoice_payments q
    left join {dataset}.payment_intents i on i._account_id = q._account_id and i.id = (q.payment ->> 'payment_intent')
    where q._deleted_at is null and q.is_default group by 1, 2
) p on p._account_id = x._account_id and p.invoice = x.id
left join (
    select x._account_id, x.id, cast(sum(cast(e.r ->> 'amount' as bigint)) as bigint) as tax
    from {dataset}.invoices x cross join lateral {items(x.total_taxes)} group by 1, 2
) t on t._account_id = x._account_id and t.id = x.id;

-- Their lines.
create or replace view {schema}.invoice_line_item as
select
    x.id, x.amount, x.currency, x.description, x.discountable, x.livemode, x.quantity, x.id as unique_id,
    x._parent_id as invoice_id,
    coalesce(((x.parent -> 'invoice_item_details') ->> 'invoice_item'), ((x.parent -> 'subscription_item_details') ->> 'invoice_item')) as invoice_item_id,
    (x.pricing -> 'price_details') ->> 'price' as price_id, (x.pricing -> 'price_details') ->> 'price' as plan_id,
    to_timestamp(cast(x.period ->> 'start' as bigint)) at time zone 'UTC' as period_start,
    to_timestamp(cast(x.period ->> 'end' as bigint)) at time zone 'UTC' as period_end,
    cast(coalesce(((x.parent -> 'subscription_item_details') ->> 'proration'), ((x.parent -> 'invoice_item_details') ->> 'proration')) as boolean) as proration,
    coalesce(x.subscription, ((x.parent -> 'subscription_item_details') ->> 'subscription')) as subscription_id,
    (x.parent -> 'subscription_item_details') ->> 'subscription_item' as subscription_item_id,
    case when (x.parent ->> 'type') like 'subscription%' then 'subscription' else 'invoiceitem' end as type,
    cast((x.pricing ->> 'unit_amount_decimal') as double precision) as unit_amount_excluding_tax,
    x._synced_at at time zone 'UTC' as _fivetran_synced, cast(x.metadata as text) as metadata
from {dataset}.invoice_line_items x where x._deleted_at is null;

-- Payment intents.
create or replace view {schema}.payment_intent as
select
    x.id, x.amount, x.amount_capturable, x.amount_received, x.application, x.application_fee_amount,
    x.cancellation_reason, x.capture_method, x.confirmation_method, x.currency, x.description, x.livemode,
    x.on_behalf_of, x.receipt_email, x.statement_descriptor, x.status, x.transfer_group,
    x.created at time zone 'UTC' as created, x.canceled_at at time zone 'UTC' as canceled_at,
    x.customer as customer_id, x.payment_method as payment_method_id, x.source as source_id,
    x.last_payment_error ->> 'code' as last_payment_error_code,
    x.last_payment_error ->> 'message' as last_payment_error_message,
    x.transfer_data ->> 'destination' as transfer_data_destination,
    x._synced_at at time zone 'UTC' as _fivetran_synced, cast(x.metadata as text) as metadata
from {dataset}.payment_intents x where x._deleted_at is null;

-- Payment methods.
create or replace view {schema}.payment_method as
select
    x.id, x.livemode, x.type, x.created at time zone 'UTC' as created, x.customer as customer_id,
    x.billing_details ->> 'email' as billing_detail_email, x.billing_details ->> 'name' as billing_detail_name,
    x.billing_details ->> 'phone' as billing_detail_phone, x._synced_at at time zone 'UTC' as _fivetran_synced,
    (x.billing_details -> 'address') ->> 'city' as billing_detail_address_city,
    (x.billing_details -> 'address') ->> 'country' as billing_detail_address_country,
    (x.billing_details -> 'address') ->> 'line1' as billing_detail_address_line_1,
    (x.billing_details -> 'address') ->> 'line2' as billing_detail_address_line_2,
    (x.billing_details -> 'address') ->> 'postal_code' as billing_detail_address_postal_code,
    (x.billing_details -> 'address') ->> 'state' as billing_detail_address_state, cast(x.metadata as text) as metadata
from {dataset}.payment_methods x;

-- Of those that are cards, the card.
create or replace view {schema}.payment_method_card as
select
    x.id as payment_method_id, x.card ->> 'brand' as brand, x.card ->> 'funding' as funding,
    (x.card -> 'wallet') ->> 'type' as wallet_type, x.type, cast(null as text) as charge_id,
    x._synced_at at time zone 'UTC' as _fivetran_synced
from {dataset}.payment_methods x where x.type = 'card';

-- Cards of the older kind, which customers have as sources.
create or replace view {schema}.card as
select
    x.id, x.brand, x.country, x.funding, x.name, x.created at time zone 'UTC' as created,
    x._parent_id as customer_id, x.tokenization_method as wallet_type,
    x._synced_at at time zone 'UTC' as _fivetran_synced, cast(x.metadata as text) as metadata
from {dataset}.payment_sources x where x.object = 'card';

-- Payouts.
create or replace view {schema}.payout as
select
    x.id, x.amount, x.automatic, x.currency, x.description, x.failure_code, x.failure_message, x.livemode, x.method,
    x.source_type, x.statement_descriptor, x.status, x.type, x.arrival_date at time zone 'UTC' as arrival_date,
    x.created at time zone 'UTC' as created, x.balance_transaction as balance_transaction_id,
    x.failure_balance_transaction as failure_balance_transaction_id,
    case when x.destination like 'ba_%' then x.destination end as destination_bank_account_id,
    case when x.destination like 'card_%' then x.destination end as destination_card_id,
    cast(null as text) as connected_account_id, x._synced_at at time zone 'UTC' as _fivetran_synced,
    cast(x.metadata as text) as metadata
from {dataset}.payouts x where x._deleted_at is null;

-- What each payout paid out: with the resource payout_balance_transactions all of it, without it the payout's
-- own movement.
create or replace view {schema}.payout_balance_transaction as
select
    coalesce(x.payout, p.id) as payout_id, x.id as balance_transaction_id,
    x._synced_at at time zone 'UTC' as _fivetran_synced
from {dataset}.balance_transactions x
left join {dataset}.payouts p on p._account_id = x._account_id and p.balance_transaction = x.id
where x._deleted_at is null and coalesce(x.payout, p.id) is not null;

-- Prices, deleted ones too.
create or replace view {schema}.price as
select
    x.id, x.active, x.billing_scheme, x.currency, x.livemode, x.nickname, x.unit_amount, x.unit_amount_decimal,
    x.created at time zone 'UTC' as created, x.product as product_id, (x._deleted_at is not null) as is_deleted,
    cast(null as text) as recurring_aggregate_usage, x.recurring ->> 'interval' as recurring_interval,
    cast((x.recurring ->> 'interval_count') as bigint) as recurring_interval_count,
    x.recurring ->> 'usage_type' as recurring_usage_type, x._synced_at at time zone 'UTC' as _fivetran_synced,
    cast(x.metadata as text) as metadata
from {dataset}.prices x;

-- Products, deleted ones too.
create or replace view {schema}.product as
select
    x.id, x.active, x.description, x.livemode, x.name, x.shippable, x.statement_descriptor, x.type, x.unit_label,
    x.url, x.created at time zone 'UTC' as created, x.updated at time zone 'UTC' as updated,
    cast(x.images as text) as images, (x._deleted_at is not null) as is_deleted,
    x._synced_at at time zone 'UTC' as _fivetran_synced
from {dataset}.products x;

-- Refunds.
create or replace view {schema}.refund as
select
    x.id, x.amount, x.currency, x.description, x.failure_reason, x.reason, x.receipt_number, x.status,
    x.created at time zone 'UTC' as created, x.charge as charge_id, x.payment_intent as payment_intent_id,
    x.balance_transaction as balance_transaction_id,
    x.failure_balance_transaction as failure_balance_transaction_id,
    x._synced_at at time zone 'UTC' as _fivetran_synced, cast(x.metadata as text) as metadata
from {dataset}.refunds x where x._deleted_at is null;

-- Subscriptions as they are now: each is its only version.
create or replace view {schema}.subscription_history as
select
    x.id, x.application_fee_percent, x.cancel_at_period_end, x.days_until_due, x.livemode, x.status,
    x.billing_cycle_anchor at time zone 'UTC' as billing_cycle_anchor, x.cancel_at at time zone 'UTC' as cancel_at,
    x.canceled_at at time zone 'UTC' as canceled_at, x.created at time zone 'UTC' as created,
    x.ended_at at time zone 'UTC' as ended_at, x.start_date at time zone 'UTC' as start_date,
    x.trial_end at time zone 'UTC' as trial_end, x.trial_start at time zone 'UTC' as trial_start,
    true as _fivetran_active, x.collection_method as billing, x.customer as customer_id,
    x.latest_invoice as latest_invoice_id, x.default_payment_method as default_payment_method_id,
    x.default_source as default_source_id, x.pending_setup_intent as pending_setup_intent_id,
    i.s at time zone 'UTC' as current_period_start, i.e at time zone 'UTC' as current_period_end, i.q as quantity,
    x.pause_collection ->> 'behavior' as pause_collection_behavior,
    to_timestamp(cast(x.pause_collection ->> 'resumes_at' as bigint)) at time zone 'UTC' as pause_collection_resumes_at,
    x._synced_at at time zone 'UTC' as _fivetran_synced, cast(x.metadata as text) as metadata
from {dataset}.subscriptions x
left join (
    select _account_id, _parent_id, min(current_period_start) as s, max(current_period_end) as e,
           cast(sum(quantity) as bigint) as q
    from {dataset}.subscription_items where _deleted_at is null group by 1, 2
) i on i._account_id = x._account_id and i._parent_id = x.id
where x._deleted_at is null;

-- Their items.
create or replace view {schema}.subscription_item as
select
    x.id, x.quantity, x.created at time zone 'UTC' as created,
    x.current_period_start at time zone 'UTC' as current_period_start,
    x.current_period_end at time zone 'UTC' as current_period_end,
    coalesce((x.price ->> 'id'), (x.plan ->> 'id')) as plan_id, x._parent_id as subscription_id,
    x._synced_at at time zone 'UTC' as _fivetran_synced, cast(x.metadata as text) as metadata
from {dataset}.subscription_items x where x._deleted_at is null;

-- Transfers.
create or replace view {schema}.transfer as
select
    x.id, x.amount, x.amount_reversed, x.currency, x.description, x.destination, x.livemode, x.reversed,
    x.source_type, x.transfer_group, x.created at time zone 'UTC' as created,
    x.balance_transaction as balance_transaction_id, x.destination_payment as destination_payment_id,
    x.source_transaction as source_transaction_id, x._synced_at at time zone 'UTC' as _fivetran_synced,
    cast(x.metadata as text) as metadata
from {dataset}.transfers x where x._deleted_at is null;

-- What each discount took off each invoice.
create or replace view {schema}.discount as
select
    e.r ->> 'discount' as id, coalesce((d.source -> 'coupon') ->> 'id', d.source ->> 'coupon') as coupon_id,
    x.customer as customer_id, x.id as invoice_id, cast(null as text) as invoice_item_id, d.promotion_code,
    (x.parent -> 'subscription_details') ->> 'subscription' as subscription_id, d.start at time zone 'UTC' as start,
    d."end" at time zone 'UTC' as "end", x._synced_at at time zone 'UTC' as _fivetran_synced,
    cast(null as text) as checkout_session_id, 'INVOICE' as type, x.id as type_id,
    cast((e.r ->> 'amount') as bigint) as amount
from {dataset}.invoices x cross join lateral {items(x.total_discount_amounts)}
left join {dataset}.discounts d on d._account_id = x._account_id and d.id = (e.r ->> 'discount')
where x._deleted_at is null;

-- Discounts that are given on subscriptions.
create or replace view {schema}.subscription_discount as
select
    x.id, coalesce((x.source -> 'coupon') ->> 'id', x.source ->> 'coupon') as coupon_id, x.customer as customer_id,
    x.invoice as invoice_id, x.invoice_item as invoice_item_id, x.promotion_code, x.subscription as subscription_id,
    x.start at time zone 'UTC' as start, x."end" at time zone 'UTC' as "end",
    x._synced_at at time zone 'UTC' as _fivetran_synced, x.checkout_session
from {dataset}.discounts x where x.subscription is not null and x._deleted_at is null;
