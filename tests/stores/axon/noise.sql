-- A number that another entity took: a hole.
SELECT nextval('hibernate_sequence');
