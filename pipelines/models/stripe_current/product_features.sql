-- Columns that the view stripe_current.product_features has beside those of the table.

-- feature_id: The feature that the product gives.
entitlement_feature ->> 'id'
