-- Columns that the view stripe_current.promotion_codes adds to the table's columns.

-- coupon_id: The coupon that the code gives.
coalesce((promotion -> 'coupon') ->> 'id', promotion ->> 'coupon')
