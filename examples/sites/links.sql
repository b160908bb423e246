-- Links of several sites in one table: the identifier of a link begins with its site.
-- Run this as the owner of the schema, or as a role that has hype_app.

-- A link of the shop, and one of the blog.

SELECT identifier
FROM hype.create_link(identifier => 'shop-' || hype.new_identifier(),
                      user_id => 'shop:42', destination => '/offers');

SELECT identifier
FROM hype.create_link(identifier => 'blog-' || hype.new_identifier());

-- The numbers of each site.

SELECT split_part(identifier, '-', 1) AS site, count(*) AS links,
       sum(hits) AS hits, sum(confirmed) AS confirmed
FROM hype.link_stats
GROUP BY site
ORDER BY site;
