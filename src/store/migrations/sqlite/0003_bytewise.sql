-- Texts are compared by their bytes already.
select 1;
