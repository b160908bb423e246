-- CALL pg_temp.derive() has all be derived but the roll-ups of what has just
-- come.  A transaction's own hits are not read from the log: tests that derive
-- are none.

CREATE PROCEDURE pg_temp.derive() LANGUAGE plpgsql AS $$
DECLARE
    next integer;
BEGIN
    LOOP
        SELECT again INTO next FROM hype.derive();
        COMMIT;
        EXIT WHEN next IS NULL OR next > 2000;
    END LOOP;
END
$$;
