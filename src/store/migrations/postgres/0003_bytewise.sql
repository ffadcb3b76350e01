-- Names are read page by page, in their order: that must be the order of the index for as long as the index lives, which no locale's is.
alter table slugs alter column slug type text collate "C";
alter table domains alter column pattern type text collate "C";
