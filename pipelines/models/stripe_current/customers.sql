-- Columns that the view stripe_current.customers adds to the table's columns.

-- default_payment_method_id: The payment method that invoices are paid with by default.
invoice_settings ->> 'default_payment_method'

-- discount_id: The discount that applies to all of the customer's invoices.
discount ->> 'id'

-- country: The country of the customer's address.
address ->> 'country'
