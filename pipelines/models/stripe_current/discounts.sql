-- Columns that the view stripe_current.discounts has beside those of the table.

-- coupon_id: The coupon that the discount was made from.
coalesce((source -> 'coupon') ->> 'id', source ->> 'coupon')
