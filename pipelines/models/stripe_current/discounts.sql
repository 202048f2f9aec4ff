-- Columns that the view stripe_current.discounts adds to the table's columns.

-- coupon_id: The coupon that the discount was created from.
coalesce((source -> 'coupon') ->> 'id', source ->> 'coupon')
