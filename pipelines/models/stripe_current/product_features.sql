-- Columns that the view stripe_current.product_features adds to the table's columns.

-- feature_id: The feature that the product gives.
entitlement_feature ->> 'id'
