# The pages of hype_status and hype_links, as C: html/ is a part of the module.

cat << END                                                >> $NGX_MAKEFILE

$NGX_OBJS/ngx_http_hype_page.h:	`echo $ngx_addon_dir/html/*.*`
	for part in html css js; do \\
		echo "static u_char  ngx_http_hype_page_\$\$part[] = {"; \\
		cat $ngx_addon_dir/html/*.\$\$part | od -An -v -tx1 \\
			| sed 's/[0-9a-f][0-9a-f]/0x&,/g'; \\
		echo "};"; \\
	done > \$@.new
	mv -f \$@.new \$@

$NGX_OBJS/ngx_http_hype_owner_page.h:	`echo $ngx_addon_dir/html/*.* $ngx_addon_dir/html/owner/*`
	for part in html css js; do \\
		echo "static u_char  ngx_http_hype_owner_page_\$\$part[] = {"; \\
		case \$\$part in \\
			html) ;; \\
			css) cat $ngx_addon_dir/html/status.css \\
				$ngx_addon_dir/html/chart.css \\
				$ngx_addon_dir/html/grid.css ;; \\
			js) cat $ngx_addon_dir/html/text.js \\
				$ngx_addon_dir/html/chart.js ;; \\
		esac | cat - $ngx_addon_dir/html/owner/*.\$\$part | od -An -v -tx1 \\
			| sed 's/[0-9a-f][0-9a-f]/0x&,/g'; \\
		echo "};"; \\
	done > \$@.new
	mv -f \$@.new \$@

END
