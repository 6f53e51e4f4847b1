-- Group roles, shared by the cluster. A process assumes one at connect and has its rights alone; none can log in.
do $$
declare
    v_role text;
begin
    foreach v_role in array array['precedent_owner', 'precedent_api', 'precedent_pipeline', 'precedent_eraser', 'precedent_analyst'] loop
        if not exists (select 1 from pg_roles where rolname = v_role) then
            begin
                execute format('create role %I nologin', v_role);
            exception when duplicate_object or unique_violation then
                null;  -- another database of this cluster migrates at the same moment
            end;
        end if;
    end loop;
end
$$;
