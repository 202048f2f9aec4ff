-- The scheduler in Supabase's database, which calls the tasks of a sink that runs elsewhere. Run it as postgres, with your
-- own address and secret in place of the two values.
create extension if not exists pg_cron;
create extension if not exists pg_net;
select vault.create_secret('https://sink.example.com', 'stripe_elt_url');
select vault.create_secret('the value of STRIPE_TASKS_SECRET', 'stripe_elt_tasks_secret');

create or replace function public.stripe_elt_task(task text, seconds integer) returns bigint
language sql security definer set search_path = '' as $$
    select net.http_post(
        url := (select decrypted_secret from vault.decrypted_secrets where name = 'stripe_elt_url')
            || '/tasks/' || task || '?seconds=' || seconds,
        headers := jsonb_build_object('Authorization', 'Bearer '
            || (select decrypted_secret from vault.decrypted_secrets where name = 'stripe_elt_tasks_secret')),
        body := '{}'::jsonb,
        timeout_milliseconds := (seconds + 10) * 1000)
$$;
revoke execute on function public.stripe_elt_task from public, anon, authenticated;

select cron.schedule('stripe-elt-rereads', '* * * * *', $$select public.stripe_elt_task('rereads', 20)$$);
select cron.schedule('stripe-elt-sync', '*/10 * * * *', $$select public.stripe_elt_task('sync', 50)$$);
