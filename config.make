# The page of hype_status, as C: html/ is a part of the module.

cat << END                                                >> $NGX_MAKEFILE

$NGX_OBJS/ngx_http_hype_page.h:	`echo $ngx_addon_dir/html/*`
	for part in html css js; do \\
		echo "static u_char  ngx_http_hype_page_\$\$part[] = {"; \\
		cat $ngx_addon_dir/html/*.\$\$part | od -An -v -tx1 \\
			| sed 's/[0-9a-f][0-9a-f]/0x&,/g'; \\
		echo "};"; \\
	done > \$@.new
	mv -f \$@.new \$@

END
