-- Columns that the view stripe_current.promotion_codes has beside those of the table.

-- coupon_id: The coupon that the code gives.
coalesce((promotion -> 'coupon') ->> 'id', promotion ->> 'coupon')
